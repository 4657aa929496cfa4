"""How the weights that ship with the studio were made; the studio itself never imports this."""
