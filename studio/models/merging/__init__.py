"""New models of those that are here: merged, with LoRAs in them; LoRAs of two, of other ranks."""
