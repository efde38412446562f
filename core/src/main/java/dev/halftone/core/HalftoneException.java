package dev.halftone.core;

/// Something a user can mend: what went wrong and where, what was found and expected, and what to do about it.
public class HalftoneException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /// What kind of thing went wrong; the command line turns it into an exit code.
    public enum Kind {
        /// Options or settings that do not go together.
        USAGE,
        /// A model, tokenizer or text that cannot be used.
        INPUT,
        /// Not enough memory or disk.
        RESOURCES,
        /// Numbers that do not allow the computation.
        NUMERICS,
        /// The output exists or belongs to another run.
        OUTPUT_TAKEN
    }

    private final Kind kind;
    private final String detail;
    private final String remedy;

    /// @param what   one line: the fault and its place
    /// @param detail one line: found and expected; may be null
    /// @param remedy one line: what to do; may be null
    public HalftoneException(Kind kind, String what, String detail, String remedy) {
        this(kind, what, detail, remedy, null);
    }

    public HalftoneException(Kind kind, String what, String detail, String remedy, Throwable cause) {
        super(what, cause);
        this.kind = kind;
        this.detail = detail;
        this.remedy = remedy;
    }

    public Kind kind() {
        return kind;
    }

    /// Found and expected, or null.
    public String detail() {
        return detail;
    }

    /// What to do, or null.
    public String remedy() {
        return remedy;
    }

    /// The whole story, up to three lines.
    public String explanation() {
        StringBuilder text = new StringBuilder(getMessage());
        if (detail != null) {
            text.append("\n  ").append(detail);
        }
        if (remedy != null) {
            text.append("\n  try: ").append(remedy);
        }
        return text.toString();
    }
}
