"""Workers on other machines: Ray places, watches and ends them; here they are hired and let go."""
