"""Quality: days of tables are measured, and held to the rules of their gates."""
