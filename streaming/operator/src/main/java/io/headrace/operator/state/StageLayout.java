package io.headrace.operator.state;

import io.headrace.operator.plan.ViewPlan;
import java.io.IOException;
import java.util.List;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** How the state of a stage is made, written and read: its views, and the keys of its sources. */
public final class StageLayout {
    private static final int VERSION = 1;

    private final List<ViewStateCodec> codecs;
    private final int sources;

    /** Of some views, with room for the keys of some sources. */
    public StageLayout(List<ViewPlan> views, int sources) {
        this.sources = sources;
        codecs = views.stream().map(ViewStateCodec::new).toList();
    }

    /** The state of an entity without events. */
    public StageState newState() {
        SeenKeys[] seen = new SeenKeys[sources];
        for (int source = 0; source < sources; source++) {
            seen[source] = new SeenKeys();
        }
        return new StageState(
                codecs.stream().map(ViewStateCodec::newState).toArray(ViewState[]::new), seen);
    }

    /** Writes a state; what is written begins with the version of its layout. */
    public void write(DataOutputView out, StageState state) throws IOException {
        out.writeByte(VERSION);
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
