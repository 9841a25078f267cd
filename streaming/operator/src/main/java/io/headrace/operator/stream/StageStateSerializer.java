package io.headrace.operator.stream;

import io.headrace.operator.aggregate.Scalars;
import io.headrace.operator.plan.Plan;
import io.headrace.operator.plan.SourcePlan;
import io.headrace.operator.plan.StagePlan;
import io.headrace.operator.state.StageLayout;
import io.headrace.operator.state.StageState;
import java.io.IOException;
import java.io.ObjectInputStream;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSchemaCompatibility;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.runtime.execution.SuppressRestartsException;

/** Writes what a stage keeps for an entity, as the plan of the stage lays it out. */
public final class StageStateSerializer extends TypeSerializer<StageState> {
    private final String plan;
    private final int decision;
    private final int stage;
    private transient StageLayout layout;

    /** The serializer of one stage of a decision in a plan. */
    public StageStateSerializer(String plan, int decision, int stage) {
        this.plan = plan;
        this.decision = decision;
        this.stage = stage;
        layout = layout();
    }

    private StageLayout layout() {
        Plan read = Plan.read(plan);
        StagePlan of = read.decisions().get(decision).stages().get(stage);
        return new StageLayout(
                of.views().stream().map(read::view).toList(),
                read.sources().stream().map(SourcePlan::name).toList());
    }

    private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
        in.defaultReadObject();
        layout = layout();
    }

    @Override
    public boolean isImmutableType() {
        return false;
    }

    @Override
    public TypeSerializer<StageState> duplicate() {
        // It keeps nothing from one state to the next.
        return this;
    }

    @Override
    public StageState createInstance() {
        return layout.newState();
    }

    @Override
    public StageState copy(StageState from) {
        try {
            return layout.copied(from);
        } catch (IOException error) {
            throw new IllegalStateException("a state can't be copied", error);
        }
    }

    @Override
    public StageState copy(StageState from, StageState reuse) {
        return copy(from);
    }

    @Override
    public int getLength() {
        return -1;
    }

    @Override
    public void serialize(StageState state, DataOutputView out) throws IOException {
        layout.write(out, state);
    }

    @Override
    public StageState deserialize(DataInputView in) throws IOException {
        return layout.read(in);
    }

    @Override
    public StageState deserialize(StageState reuse, DataInputView in) throws IOException {
        return layout.read(in);
    }

    @Override
    public void copy(DataInputView in, DataOutputView out) throws IOException {
        layout.write(out, layout.read(in));
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof StageStateSerializer that
                && that.plan.equals(plan)
                && that.decision == decision
                && that.stage == stage;
    }

    @Override
    public int hashCode() {
        return plan.hashCode();
    }

    @Override
    public TypeSerializerSnapshot<StageState> snapshotConfiguration() {
        return new Snapshot(this);
    }

    /** The layout of the states in a savepoint: the plan they were written under. */
    public static final class Snapshot implements TypeSerializerSnapshot<StageState> {
        private static final int VERSION = 3;

        private StageStateSerializer written;

        /** For Flink, which fills it from a savepoint. */
        public Snapshot() {}

        Snapshot(StageStateSerializer written) {
            this.written = written;
        }

        @Override
        public int getCurrentVersion() {
            return VERSION;
        }

        @Override
        public void writeSnapshot(DataOutputView out) throws IOException {
            Scalars.writeText(out, written.plan);
            out.writeInt(written.decision);
            out.writeInt(written.stage);
        }

        @Override
        public void readSnapshot(int version, DataInputView in, ClassLoader loader)
                throws IOException {
            WrittenVersion.require("states", version, VERSION);
            written = new StageStateSerializer(Scalars.readText(in), in.readInt(), in.readInt());
        }

        @Override
        public TypeSerializer<StageState> restoreSerializer() {
            return written;
        }

        @Override
        public TypeSerializerSchemaCompatibility<StageState> resolveSchemaCompatibility(
                TypeSerializerSnapshot<StageState> old) {
            if (!(old instanceof Snapshot before)) {
                return TypeSerializerSchemaCompatibility.incompatible();
            }
            try {
                return written.layout.sameAs(before.written.layout)
                        ? TypeSerializerSchemaCompatibility.compatibleAsIs()
                        : TypeSerializerSchemaCompatibility.compatibleAfterMigration();
            } catch (IllegalArgumentException unlike) {
                // Flink would try again for ever.
                throw new SuppressRestartsException(
                        new IllegalStateException(
                                "the savepoint is of other definitions: " + unlike.getMessage()));
            }
        }
    }
}
