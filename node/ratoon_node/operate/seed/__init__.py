"""A made-up network of any size: people, whom they follow, and what they write, from one seed."""
