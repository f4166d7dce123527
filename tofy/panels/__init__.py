"""Widgets to learn by: sliders over the functions of the other modules, and no logic of their own."""
