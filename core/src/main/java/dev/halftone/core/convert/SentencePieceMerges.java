package dev.halftone.core.convert;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// Two ways to say in which order pieces merge. SentencePiece scores the results: of all neighbours that together
/// are a piece, those with the best score merge first. tokenizer.json lists the pairs.
final class SentencePieceMerges {
    /// @param left  of a pair that merges
    /// @param right the piece behind it
    record Merge(String left, String right) {
        String result() {
            return left + right;
        }
    }

    private record Ranked(Merge merge, float score, int leftLength, int rightLength) {}

    private SentencePieceMerges() {}

    /// Every way to make a piece of two others, best score first. Where a piece can be made in several ways, they
    /// follow one another, the one with the longest left part first.
    ///
    /// @param scores of the normal pieces, in the order of their ids
    static List<Merge> ofScores(Map<String, Float> scores) {
        List<Ranked> ranked = new ArrayList<>();
        scores.forEach((piece, score) -> {
            int length = piece.codePointCount(0, piece.length());
            for (int left = 1; left < length; left++) {
                int cut = piece.offsetByCodePoints(0, left);
                Merge merge = new Merge(piece.substring(0, cut), piece.substring(cut));
                if (scores.containsKey(merge.left()) && scores.containsKey(merge.right())) {
                    ranked.add(new Ranked(merge, score, left, length - left));
                }
            }
        });
        ranked.sort(Comparator.comparingDouble(Ranked::score)
                .thenComparingInt(Ranked::leftLength)
                .thenComparingInt(Ranked::rightLength)
                .reversed());
        return ranked.stream().map(Ranked::merge).toList();
    }

    /// Scores that make the merges happen in this order: the result of the first has 0, the next result -1, and so
    /// on. Empty if a result comes up in two places, which no score can say.
    static Optional<Map<String, Float>> scores(List<Merge> merges) {
        Map<String, Float> scores = new LinkedHashMap<>();
        Set<String> left = new HashSet<>();
        String last = null;
        for (Merge merge : merges) {
            String result = merge.result();
            if (!result.equals(last)) {
                if (!left.add(result)) {
                    return Optional.empty();
                }
                scores.put(result, (float) -scores.size());
                last = result;
            }
        }
        return Optional.of(new HashMap<>(scores));
    }
}
