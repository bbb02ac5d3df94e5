"""The published experiment on stragglers: FedAvg that drops them, and FedProx that uses what they have done."""
