"""The kinds of image files that are read; `facewise.image.decode` is the way in.

`kinds` tells them apart by content. `jpeg` and `webp` decode theirs where that is quicker, `pillow` all
others but those of `heif`, `jxl` and `raw`, which `apart` decodes in a process of its own (`worker`). `tiff`
looks into TIFFs, `colour` makes sRGB of what colours there are, `upright` turns them. A decoder that will not
raises `Refused`.
"""
