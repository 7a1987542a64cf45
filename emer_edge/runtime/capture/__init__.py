"""The capture process of a live camera: it holds Python alone where the camera can be read without OpenCV."""
