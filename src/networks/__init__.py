"""The networks of the three scripts: what is taught already, what decoders see, and the weights that ship."""
