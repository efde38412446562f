package dev.halftone.cli;

import dev.halftone.core.compute.Backend;
import dev.halftone.core.compute.BackendProvider;
import dev.halftone.core.model.Tokenizer;
import dev.halftone.runtime.cpu.CpuBackend;
import dev.halftone.runtime.cpu.ProductMode;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

@picocli.CommandLine.Command(
        name = "doctor",
        description = "Checks this machine and says what to mend.",
        footer = {"", "Ends with status 4 if something keeps Halftone from working."})
final class DoctorCommand implements Command {
    /// Below this a model of a billion parameters does not load.
    private static final long SCARCE_MEMORY = 2L << 30;

    private static final long SCARCE_DISK = 1L << 30;

    /// How a check came out.
    enum Verdict {
        OK,
        /// Works, but slowly or not for everything.
        WARNING,
        /// Halftone cannot work.
        PROBLEM;

        String word() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /// @param remedy the line that mends it, or null
    private record Check(String name, Verdict verdict, String found, String remedy) {}

    private final List<Check> checks = new ArrayList<>();

    @Override
    public int run(Console console, Interruption interruption) throws IOException {
        checkJava();
        checkMachine();
        checkTokenizer(console.environment().home());
        checkBackends(console);
        for (Check check : checks) {
            print(check, console);
        }
        long problems = count(Verdict.PROBLEM);
        long warnings = count(Verdict.WARNING);
        console.event("done", fields -> fields.put("problems", problems).put("warnings", warnings));
        console.result(
                problems == 0
                        ? warnings == 0 ? "All well." : "Works; " + warnings + " of the checks could be better."
                        : "Halftone cannot work here: " + problems + " of the checks failed.");
        return problems == 0 ? 0 : 4;
    }

    private long count(Verdict verdict) {
        return checks.stream().filter(check -> check.verdict == verdict).count();
    }

    private static void print(Check check, Console console) {
        console.event("check", fields -> {
            fields.put("name", check.name).put("verdict", check.verdict.word()).put("found", check.found);
            if (check.remedy != null) {
                fields.put("remedy", check.remedy);
            }
        });
        String mark = check.verdict == Verdict.OK ? "ok" : check.verdict.word();
        console.result(Figures.format("%-8s %-15s %s", mark, check.name, check.found));
        if (check.remedy != null) {
            console.result("                         try: " + check.remedy);
        }
    }

    private void add(String name, Verdict trouble, boolean well, String found, String remedy) {
        checks.add(new Check(name, well ? Verdict.OK : trouble, found, well ? null : remedy));
    }

    private void checkJava() {
        add(
                "java",
                Verdict.PROBLEM,
                Runtime.version().feature() >= 25,
                Runtime.version() + ", " + System.getProperty("java.vm.name") + ", " + System.getProperty("java.home"),
                "install JDK 25 or newer, and set HALFTONE_JAVA_HOME to it");
        boolean vector = ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
        add(
                "vector api",
                Verdict.WARNING,
                vector,
                vector ? "module jdk.incubator.vector is present" : "module jdk.incubator.vector is absent: slow",
                "start with ./halftone, or java --add-modules jdk.incubator.vector");
        boolean access = DoctorCommand.class.getModule().isNativeAccessEnabled();
        add(
                "native access",
                Verdict.WARNING,
                access,
                access ? "enabled" : "not enabled: the JVM will warn, and later versions refuse",
                "start with ./halftone, or java --enable-native-access=ALL-UNNAMED");
        String names = System.getProperty("sun.jnu.encoding");
        add(
                "file names",
                Verdict.WARNING,
                names.equals("UTF-8"),
                names,
                "export LC_ALL=C.UTF-8, so that paths with other letters than a to z can be opened");
    }

    private void checkMachine() throws IOException {
        int cores = Runtime.getRuntime().availableProcessors();
        String name =
                Machine.processor().map(text -> ", " + Printable.line(text)).orElse("");
        add(
                "processor",
                Verdict.WARNING,
                true,
                cores + (cores == 1 ? " core" : " cores") + name + ", " + System.getProperty("os.name") + " "
                        + System.getProperty("os.arch"),
                null);
        long free = Machine.availableMemory();
        add(
                "memory",
                Verdict.WARNING,
                free >= SCARCE_MEMORY,
                Figures.bytes(free) + " free of " + Figures.bytes(Machine.totalMemory()),
                "end other programs; a model needs about its own size");
        String collector =
                ManagementFactory.getGarbageCollectorMXBeans().getFirst().getName();
        add(
                "heap",
                Verdict.WARNING,
                Runtime.getRuntime().maxMemory() >= SCARCE_MEMORY / 2,
                "may grow to " + Figures.bytes(Runtime.getRuntime().maxMemory()) + " (" + collector + ")",
                "HALFTONE_OPTS=-Xmx4g");
        disk("disk here", Path.of(""));
        disk("disk for temp", Path.of(System.getProperty("java.io.tmpdir")));
    }

    private void disk(String name, Path folder) throws IOException {
        long free = Machine.freeDisk(folder);
        add(
                name,
                Verdict.WARNING,
                free >= SCARCE_DISK,
                Figures.bytes(free) + " free at "
                        + Printable.line(folder.toAbsolutePath().toString()),
                "free some, or work in another folder");
    }

    /// The tokenizer is native code, unpacked below the user's home on first use: the one part that a system may
    /// refuse.
    private void checkTokenizer(Path home) throws IOException {
        Path model = home == null ? null : DemoCommand.model(home);
        if (model == null || !Files.isDirectory(model)) {
            add("demo model", Verdict.WARNING, false, "not found", "start with ./halftone of a complete checkout");
            return;
        }
        String fault = null;
        try (Tokenizer tokenizer = Tokenizer.of(model)) {
            fault = tokenizer.encode("Once").length == 0 ? "it encodes nothing" : null;
        } catch (RuntimeException | LinkageError e) {
            fault = String.valueOf(e.getMessage());
        }
        add(
                "tokenizer",
                Verdict.PROBLEM,
                fault == null,
                fault == null ? "the native library loads" : Printable.line(fault),
                "a home folder that can be written to (it is unpacked to ~/.djl.ai), and glibc 2.28 or newer");
    }

    private void checkBackends(Console console) {
        List<BackendProvider> providers = Backends.providers();
        for (BackendProvider provider : providers) {
            String refusal = provider.refusal();
            add(
                    "backend " + provider.name(),
                    Verdict.WARNING,
                    refusal == null,
                    refusal == null ? "can serve" : refusal,
                    "--backend auto takes another");
        }
        boolean serves = providers.stream().anyMatch(provider -> provider.refusal() == null);
        if (!serves) {
            add("computes with", Verdict.PROBLEM, false, "nothing", "start with ./halftone");
            return;
        }
        try (Backend backend = Backends.open(console, null, ProductMode.AUTO)) {
            add("computes with", Verdict.PROBLEM, true, backend.description(), null);
            if (backend instanceof CpuBackend cpu) {
                cpu.decideProducts();
                add("multiplies by", Verdict.WARNING, true, cpu.products(), null);
            }
        }
    }
}
