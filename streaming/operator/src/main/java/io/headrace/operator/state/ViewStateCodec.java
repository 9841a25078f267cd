package io.headrace.operator.state;

import io.headrace.operator.aggregate.Accumulator;
import io.headrace.operator.aggregate.Accumulators;
import io.headrace.operator.aggregate.Scalars;
import io.headrace.operator.plan.ColumnType;
import io.headrace.operator.plan.ViewPlan;
import java.io.IOException;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Writes and reads the state of one view; the layout begins with its version. */
final class ViewStateCodec {
    private static final int VERSION = 1;

    private final ViewPlan view;
    private final ColumnType[] types;

    ViewStateCodec(ViewPlan view) {
        this.view = view;
        types = view.columnTypes();
    }

    /** The state of an entity without events. */
    ViewState newState() {
        return new ViewState(types);
    }

    void write(DataOutputView out, ViewState state) throws IOException {
        out.writeByte(VERSION);
        out.writeLong(state.sequence);
        out.writeLong(state.clock);
        out.writeLong(state.heldFrom);
        out.writeInt(state.foldAt);
        RawEvents raw = state.raw;
        out.writeInt(raw.size());
        for (int row = 0; row < raw.size(); row++) {
            writeEvent(out, raw, row);
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
        state.foldAt = in.readInt();
        Object[] values = new Object[types.length];
        for (int left = in.readInt(); left > 0; left--) {
            readEvent(in, state.raw, values);
        }
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

    private void writeEvent(DataOutputView out, RawEvents raw, int row) throws IOException {
        out.writeLong(raw.time(row));
        out.writeLong(raw.available(row) - raw.time(row));
        byte[] dedup = raw.dedup(row);
        out.writeInt(dedup.length);
        out.write(dedup);
        for (int column = 0; column < types.length; column++) {
            boolean present = !raw.isNull(column, row);
            out.writeBoolean(present);
            if (!present) {
                continue;
            }
            switch (types[column]) {
                case STRING -> Scalars.writeText(out, raw.text(column, row));
                case BOOL -> out.writeBoolean(raw.number(column, row) != 0);
                case INT64, FLOAT64 -> out.writeLong(raw.number(column, row));
            }
        }
    }

    private void readEvent(DataInputView in, RawEvents raw, Object[] values) throws IOException {
        long time = in.readLong();
        long available = time + in.readLong();
        byte[] dedup = new byte[in.readInt()];
        in.readFully(dedup);
        for (int column = 0; column < types.length; column++) {
            values[column] =
                    !in.readBoolean()
                            ? null
                            : switch (types[column]) {
                                case STRING -> Scalars.readText(in);
                                case BOOL -> in.readBoolean();
                                case INT64 -> in.readLong();
                                case FLOAT64 -> Double.longBitsToDouble(in.readLong());
                            };
        }
        raw.insert(time, available, dedup, values);
    }
}
