/// Room of the OpenAI-compatible server.
package dev.halftone.server;
