"""kill -9 under load: `./run chaos`. Every answered change must be there, every view must equal its rebuild."""
