"""The demo: a call centre that files a sample day of calls, calls 300 people back, and tells what came of it."""
