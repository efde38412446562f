package dev.halftone.core.checkpoint;

import java.util.Collection;
import java.util.Locale;
import java.util.Optional;

/// What somebody who mistyped a name may have meant.
final class NearestName {
    private NearestName() {}

    /// The candidate with the fewest letters to insert, drop or change, if they are at most a quarter of the name.
    static Optional<String> of(String name, Collection<String> candidates) {
        String best = null;
        int least = Math.max(1, name.length() / 4) + 1;
        for (String candidate : candidates) {
            if (Math.abs(candidate.length() - name.length()) < least) {
                int distance = distance(name.toLowerCase(Locale.ROOT), candidate.toLowerCase(Locale.ROOT));
                if (distance < least) {
                    least = distance;
                    best = candidate;
                }
            }
        }
        return Optional.ofNullable(best);
    }

    /// Edit distance of Levenshtein, one row of the table at a time.
    private static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) {
            row[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int change = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(change, Math.min(row[j], row[j - 1]) + 1);
            }
        }
        return row[b.length()];
    }
}
