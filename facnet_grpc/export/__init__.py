"""Results and lines on their way out: persons taken out, texts put in, written as files. Pure: Arrow in, bytes out."""
