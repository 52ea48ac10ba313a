"""The avatar as a partner in talk: it speaks, can be interrupted, takes turns and answers. Plain Python; nodes/ puts it on topics."""
