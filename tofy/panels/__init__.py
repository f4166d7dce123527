"""Widgets to learn by: sliders over the functions of the other modules, and no logic of their own."""
from tofy.errors import extra

with extra("notebooks"):
    import ipywidgets  # noqa: F401

from .ideas import LossPanel, MaskingPanel, SchedulePanel, SizingPanel
from .models import CrowdingPanel, FillPanel, GapPanel
from .training import TrainingPanel

__all__ = ["CrowdingPanel", "FillPanel", "GapPanel", "LossPanel", "MaskingPanel", "SchedulePanel", "SizingPanel",
           "TrainingPanel"]
