"""The only wing that sends anything, or sees what is sent."""
