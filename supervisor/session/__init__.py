"""A session on disk and in memory: events, journal, state, snapshots, summary."""
