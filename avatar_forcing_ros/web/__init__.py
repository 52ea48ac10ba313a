"""The kiosk: a page that draws the face in a browser, and the server that feeds it."""
