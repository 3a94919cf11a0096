"""Who is in a video, and when."""
