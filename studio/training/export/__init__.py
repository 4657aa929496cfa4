"""What a training makes, as files that others read too: LoRAs, whole models, embeddings, cards."""
