"""Who is in a video, and when; and what the faces in it look like."""

from facewise.video.analyze import VideoAnalysis, analyze_video
from facewise.video.content import is_video, photos_and_videos
from facewise.video.identify import identify_camera, identify_video
from facewise.video.results import Appearance, Interval, VideoResult
from facewise.video.watch import VideoSettings

__all__ = [
    "Appearance",
    "Interval",
    "VideoAnalysis",
    "VideoResult",
    "VideoSettings",
    "analyze_video",
    "identify_camera",
    "identify_video",
    "is_video",
    "photos_and_videos",
]
