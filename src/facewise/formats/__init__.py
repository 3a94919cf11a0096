"""The kinds of image files that are read, one module each; `facewise.image.decode` is the way in.

`kinds` tells them apart by content. `jpeg`, `heif`, `jxl` and `raw` decode theirs, `pillow` all others;
`webp` and `tiff` look for damage that Pillow does not tell of. `colour` makes RGB of what colours there are.
A decoder that will not raises `Refused`.
"""
