"""The published experiment on stragglers: FedAvg drops them, and FedProx uses their partial work."""
