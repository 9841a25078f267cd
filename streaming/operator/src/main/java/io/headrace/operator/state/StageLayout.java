package io.headrace.operator.state;

import io.headrace.operator.plan.ViewPlan;
import java.io.IOException;
import java.util.List;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.apache.flink.core.memory.DataOutputView;

/** How the state of a stage is made, written and read: its views, and the keys of its sources. */
public final class StageLayout {
    private static final int VERSION = 2;
    // Beside these events of its own an entity's state has only what each chunk comes to.
    private static final int CHUNK_EVENTS = 16;

    private static final int START_BYTES = 512;

    final List<ViewPlan> views;
    final List<String> sources;
    private final List<ViewStateCodec> codecs;
    // From the layout that a state had last which is not this one. Checkpoints are written by other
    // threads: what they share is never changed.
    private volatile Adoption adoption;

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
        return new StageState(this, empty, seen);
    }

    /** A state in this layout, brought over where it was laid out by an earlier plan. */
    public StageState adopted(StageState state) {
        if (state.layout == this) {
            return state;
        }
        Adoption known = adoption;
        if (known == null || !known.isFrom(state.layout)) {
            known = new Adoption(state.layout, this);
            adoption = known;
        }
        return known.adopted(state);
    }

    /**
     * Writes a state; what is written begins with the version of its layout.
     *
     * <p>Each checkpoint writes all states, and from one to the next most of them are unused.
     */
    public void write(DataOutputView out, StageState given) throws IOException {
        StageState state = adopted(given);
        synchronized (state) {
            out.write(written(state));
        }
    }

    /**
     * A copy of a state: it takes over what the state holds, of which only the bytes are left.
     *
     * <p>Whoever asks for a copy wants to change it, while a checkpoint still has to write the state
     * as it was. Making the bytes, once for both, is all that this takes.
     */
    public StageState copied(StageState given) throws IOException {
        StageState state = adopted(given);
        synchronized (state) {
            byte[] written = written(state);
            // What was brought over from an earlier plan still belongs to the state it came from.
            boolean whole = state == given && !state.isHandedOver();
            return whole ? state.handOver() : read(new DataInputDeserializer(written));
        }
    }

    private byte[] written(StageState state) throws IOException {
        byte[] written = state.written();
        if (written == null) {
            DataOutputSerializer fresh = new DataOutputSerializer(START_BYTES);
            writeFields(fresh, state);
            written = fresh.getCopyOfBuffer();
            state.keep(written);
        }
        return written;
    }

    private void writeFields(DataOutputView out, StageState state) throws IOException {
        out.writeByte(VERSION);
        out.writeLong(state.timer);
        for (long partitions : state.partitions) {
            out.writeLong(partitions);
        }
        for (SeenKeys keys : state.seen) {
            out.writeInt(keys.size());
            for (int row = 0; row < keys.size(); row++) {
                out.writeLong(keys.events.time(row));
                byte[] dedup = keys.events.dedup(row);
                out.writeInt(dedup.length);
                out.write(dedup);
            }
        }
        for (int place = 0; place < state.views.length; place++) {
            codecs.get(place).write(out, state.views[place]);
        }
    }

    /** Reads what was written. */
    public StageState read(DataInputView in) throws IOException {
        int version = in.readByte();
        if (version != VERSION) {
            throw new IOException(
                    "state is encoded in version " + version + ", this release reads " + VERSION);
        }
        StageState state = newState();
        state.timer = in.readLong();
        for (int source = 0; source < state.partitions.length; source++) {
            state.partitions[source] = in.readLong();
        }
        for (SeenKeys keys : state.seen) {
            for (int left = in.readInt(); left > 0; left--) {
                long time = in.readLong();
                byte[] dedup = new byte[in.readInt()];
                in.readFully(dedup);
                keys.restore(time, dedup);
            }
        }
        for (int place = 0; place < state.views.length; place++) {
            state.views[place] = codecs.get(place).read(in);
        }
        return state;
    }
}
