"""Where features come from and go: definitions, lake, store and recorded runs, joined."""
