package io.headrace.operator.state;

import io.headrace.operator.packed.PackedReader;
import io.headrace.operator.packed.PackedWriter;
import io.headrace.operator.plan.ViewPlan;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** How the state of a stage is made, packed and unpacked: its views, and the keys of its sources. */
public final class StageLayout {
    private static final int VERSION = 3;

    /** What tells how states are packed, all parts of them, from how other releases do. */
    public static final int ENCODING =
            (VERSION * 100 + ViewStateCodec.VERSION) * 100 + EventColumnsCodec.VERSION;

    // Beside these events of its own an entity's state has only what each chunk comes to.
    private static final int CHUNK_EVENTS = 16;

    private static final int START_BYTES = 2048;

    final List<ViewPlan> views;
    final List<String> sources;
    private final List<ViewStateCodec> codecs;
    // From each other layout that a state had: those of restored states, and that of the operator as
    // a checkpoint sees it. Checkpoints bring states over in threads of their own.
    private final Map<StageLayout, Adoption> adoptions = new ConcurrentHashMap<>();

    /** Of some views, with room for the keys of some sources. */
    public StageLayout(List<ViewPlan> views, List<String> sources) {
        this(views, sources, CHUNK_EVENTS);
    }

    /** The same, where a chunk of an entity's events has so many. */
    public StageLayout(List<ViewPlan> views, List<String> sources, int chunkEvents) {
        this.views = views;
        this.sources = sources;
        codecs = views.stream().map(view -> new ViewStateCodec(view, chunkEvents)).toList();
    }

    /**
     * Whether states in another layout are states in this one as they are.
     *
     * @throws IllegalArgumentException they can't be brought over either: what a view keeps of the
     *     same name means something else
     */
    public boolean sameAs(StageLayout other) {
        return new Adoption(other, this).changesNothing();
    }

    /** The state of an entity without events. */
    public StageState newState() {
        SeenKeys[] seen = new SeenKeys[sources.size()];
        for (int source = 0; source < seen.length; source++) {
            seen[source] = new SeenKeys();
        }
        ViewState[] empty = codecs.stream().map(ViewStateCodec::newState).toArray(ViewState[]::new);
        return new StageState(empty, seen);
    }

    /** A packed state in this layout, brought over where it was laid out by an earlier plan. */
    public PackedState adopted(PackedState packed) {
        return isLaidOutAs(packed) ? packed : packed(unpacked(packed));
    }

    /**
     * The state that was packed, brought over where it was laid out by an earlier plan.
     *
     * @throws IllegalArgumentException another release packed it
     */
    public StageState unpacked(PackedState packed) {
        return isLaidOutAs(packed)
                ? read(packed.bytes())
                : adoption(packed.layout()).adopted(packed.layout().read(packed.bytes()));
    }

    private boolean isLaidOutAs(PackedState packed) {
        return packed.layout() == this || adoption(packed.layout()).changesNothing();
    }

    private Adoption adoption(StageLayout from) {
        return adoptions.computeIfAbsent(from, layout -> new Adoption(layout, this));
    }

    /** Packs a state, whose chunks have been released. */
    public PackedState packed(StageState state) {
        PackedWriter out = new PackedWriter(START_BYTES);
        out.natural(VERSION);
        out.truth(state.timer != StageState.NO_TIMER);
        if (state.timer != StageState.NO_TIMER) {
            out.integer(state.timer);
        }
        for (long partitions : state.partitions) {
            out.natural(partitions);
        }
        for (SeenKeys keys : state.seen) {
            keys.write(out);
        }
        for (int place = 0; place < state.views.length; place++) {
            codecs.get(place).write(out, state.views[place]);
        }
        return new PackedState(this, out.written());
    }

    private StageState read(byte[] bytes) {
        PackedReader in = new PackedReader(bytes);
        long version = in.natural();
        if (version != VERSION) {
            throw new IllegalArgumentException(
                    "state is packed in version " + version + ", this release reads " + VERSION);
        }
        StageState state = newState();
        if (in.truth()) {
            state.timer = in.integer();
        }
        for (int source = 0; source < state.partitions.length; source++) {
            state.partitions[source] = in.natural();
        }
        for (SeenKeys keys : state.seen) {
            keys.read(in);
        }
        for (int place = 0; place < state.views.length; place++) {
            codecs.get(place).read(in, state.views[place]);
        }
        return state;
    }
}
