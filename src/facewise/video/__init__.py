"""Who is in a video, and when."""

from facewise.video.content import is_video, photos_and_videos
from facewise.video.identify import identify_camera, identify_video
from facewise.video.results import Appearance, Interval, VideoResult
from facewise.video.watch import VideoSettings

__all__ = [
    "Appearance",
    "Interval",
    "VideoResult",
    "VideoSettings",
    "identify_camera",
    "identify_video",
    "is_video",
    "photos_and_videos",
]
