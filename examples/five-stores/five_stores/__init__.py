"""Five stores, whose customers prefer different orange juices, predict together which one a customer buys."""
