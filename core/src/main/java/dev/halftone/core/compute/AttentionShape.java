package dev.halftone.core.compute;

/// Shape of a grouped-query attention: query head `h` reads key/value head `h / (heads / kvHeads)`.
///
/// @param scale  factor on the scores before the softmax
/// @param window how many keys a query sees, itself included; `Integer.MAX_VALUE` for all before it
public record AttentionShape(int heads, int kvHeads, int headSize, float scale, int window) {
    public AttentionShape {
        if (heads < 1 || kvHeads < 1 || headSize < 1 || heads % kvHeads != 0 || window < 1) {
            throw new IllegalArgumentException("heads " + heads + ", key/value heads " + kvHeads + ", head size "
                    + headSize + ", window " + window);
        }
    }

    public int queryColumns() {
        return heads * headSize;
    }

    public int kvColumns() {
        return kvHeads * headSize;
    }
}
