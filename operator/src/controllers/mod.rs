//! The API server's side: one controller per kind, and the only talk with the API server.
