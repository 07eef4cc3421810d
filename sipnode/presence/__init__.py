"""The presence room: publications in, subscriptions kept, NOTIFYs out."""
