package dev.halftone.core.model;

import java.util.Objects;

/// One turn of a conversation.
///
/// @param role    `system`, `user` or `assistant`; what else there is depends on the model
/// @param content what was said
public record ChatMessage(String role, String content) {
    public ChatMessage {
        Objects.requireNonNull(role);
        Objects.requireNonNull(content);
    }

    public static ChatMessage system(String content) {
        return new ChatMessage("system", content);
    }

    public static ChatMessage user(String content) {
        return new ChatMessage("user", content);
    }

    public static ChatMessage assistant(String content) {
        return new ChatMessage("assistant", content);
    }
}
