"""Letters to the person whom a request is about, as ready text from templates: one language and regime at a time."""
