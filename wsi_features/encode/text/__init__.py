"""Text towers: prompts to vectors in the space that an encoder's projected features lie in."""
