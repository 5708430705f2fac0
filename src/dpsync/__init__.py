"""Tells every processor what data-protection law obliges it to do with one person's data, and keeps the proof."""

__version__ = "0.1.0"
