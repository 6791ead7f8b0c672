"""What a policy has to survive in simulation before it may move hardware, and the record that says it did."""
