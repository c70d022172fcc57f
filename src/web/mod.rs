//! LAYER 4: HTTP on the ports of a server: the files of the HTML5 client, small pages of facts, and the way to a
//! WebSocket (`endpoints.md` c.3, c.4).
