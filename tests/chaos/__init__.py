"""kill -9 under load: `./run chaos`. Every acknowledged change must be recorded, every view must equal its rebuild."""
