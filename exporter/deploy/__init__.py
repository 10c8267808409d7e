"""The deploy kit of a bundle for Atlas: the scripts, configuration and instructions that are its `deploy/` folder."""
