package io.headrace.operator.state;

import io.headrace.operator.aggregate.Accumulator;
import io.headrace.operator.aggregate.Accumulators;
import io.headrace.operator.aggregate.Scalars;
import io.headrace.operator.plan.ViewPlan;
import java.io.IOException;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Writes and reads the state of one view; the layout begins with its version. */
final class ViewStateCodec {
    private static final int VERSION = 3;

    private final ViewPlan view;
    private final int chunkEvents;
    private final EventColumnsCodec events;

    ViewStateCodec(ViewPlan view, int chunkEvents) {
        this.view = view;
        this.chunkEvents = chunkEvents;
        events = new EventColumnsCodec(view.columns());
    }

    /** The state of an entity without events. */
    ViewState newState() {
        return new ViewState(view, chunkEvents);
    }

    void write(DataOutputView out, ViewState state) throws IOException {
        out.writeByte(VERSION);
        out.writeLong(state.sequence);
        out.writeLong(state.clock);
        out.writeLong(state.heldFrom);
        out.writeLong(state.foldedTo);
        out.writeLong(state.tiledTo);
        out.writeLong(state.expiredTo);
        out.writeLong(state.refused);
        out.writeShort(state.knownFrom == null ? 0 : state.knownFrom.length);
        for (int i = 0; state.knownFrom != null && i < state.knownFrom.length; i++) {
            out.writeLong(state.knownFrom[i]);
        }
        out.writeInt(state.foldAt);
        Scalars.writeBytes(out, events.packed(state.raw.tail));
        out.writeInt(state.raw.nextNumber);
        out.writeInt(state.raw.chunks.size());
        for (Chunk chunk : state.raw.chunks) {
            writeChunk(out, chunk);
        }
        out.writeInt(state.folded.size());
        for (FoldedTile tile : state.folded) {
            out.writeLong(tile.first);
            out.writeLong(tile.last);
            for (Accumulator partial : tile.partials) {
                partial.write(out);
            }
        }
    }

    ViewState read(DataInputView in) throws IOException {
        int version = in.readByte();
        if (version != VERSION) {
            throw new IOException(
                    "state of view "
                            + view.name()
                            + " is encoded in version "
                            + version
                            + ", this release reads "
                            + VERSION);
        }
        ViewState state = newState();
        state.sequence = in.readLong();
        state.clock = in.readLong();
        state.heldFrom = in.readLong();
        state.foldedTo = in.readLong();
        state.tiledTo = in.readLong();
        state.expiredTo = in.readLong();
        state.refused = in.readLong();
        int known = in.readShort();
        if (known > 0) {
            state.knownFrom = new long[known];
            for (int i = 0; i < known; i++) {
                state.knownFrom[i] = in.readLong();
            }
        }
        state.foldAt = in.readInt();
        state.raw.tail = events.unpacked(Scalars.readBytes(in));
        state.raw.nextNumber = in.readInt();
        for (int left = in.readInt(); left > 0; left--) {
            state.raw.chunks.add(readChunk(in));
        }
        state.raw.counted();
        for (int left = in.readInt(); left > 0; left--) {
            long first = in.readLong();
            long last = in.readLong();
            Accumulator[] partials = Accumulators.of(view);
            for (Accumulator partial : partials) {
                partial.read(in);
            }
            state.folded.add(new FoldedTile(first, last, partials));
        }
        return state;
    }

    private static void writeChunk(DataOutputView out, Chunk chunk) throws IOException {
        out.writeInt(chunk.number);
        out.writeInt(chunk.size);
        out.writeLong(chunk.first);
        out.writeLong(chunk.last);
        out.writeLong(chunk.mostAvailable);
        out.writeBoolean(chunk.partials != null);
        if (chunk.partials != null) {
            for (Accumulator partial : chunk.partials) {
                partial.write(out);
            }
        }
    }

    private Chunk readChunk(DataInputView in) throws IOException {
        Chunk chunk = new Chunk(in.readInt());
        chunk.size = in.readInt();
        chunk.first = in.readLong();
        chunk.last = in.readLong();
        chunk.mostAvailable = in.readLong();
        if (in.readBoolean()) {
            chunk.partials = Accumulators.of(view);
            for (Accumulator partial : chunk.partials) {
                partial.read(in);
            }
        }
        return chunk;
    }
}
