package io.headrace.operator.stream;

import java.io.IOException;
import java.util.Collection;
import java.util.List;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.connector.sink2.CommittingSinkWriter;
import org.apache.flink.api.connector.sink2.StatefulSinkWriter;
import org.apache.flink.connector.kafka.sink.KafkaCommittable;
import org.apache.flink.connector.kafka.sink.KafkaWriterState;
import org.apache.flink.connector.kafka.sink.TwoPhaseCommittingStatefulSink.PrecommittingStatefulSinkWriter;

/**
 * Writes into transactions, and prepares one only while its deployment is the newest.
 *
 * <p>That is looked up when all of its records are with the broker. So whoever is announced after
 * that finds the transaction open, and waits to see what becomes of it.
 */
@SuppressWarnings("try") // Flink declares it so.
final class LedgerWriter
        implements StatefulSinkWriter<OutRecord, KafkaWriterState>,
                CommittingSinkWriter<OutRecord, KafkaCommittable> {
    private final PrecommittingStatefulSinkWriter<OutRecord, KafkaWriterState, KafkaCommittable>
            writer;
    private final TopicReader reader;
    private final DeploymentWatch watch;

    LedgerWriter(
            PrecommittingStatefulSinkWriter<OutRecord, KafkaWriterState, KafkaCommittable> writer,
            Deployment deployment) {
        this.writer = writer;
        reader = new TopicReader(deployment);
        watch = new DeploymentWatch(deployment, reader);
    }

    @Override
    public void write(OutRecord record, Context context) throws IOException, InterruptedException {
        writer.write(record, context);
    }

    @Override
    public void flush(boolean endOfInput) throws IOException, InterruptedException {
        writer.flush(endOfInput);
    }

    @Override
    public void writeWatermark(Watermark watermark) throws IOException, InterruptedException {
        writer.writeWatermark(watermark);
    }

    @Override
    public Collection<KafkaCommittable> prepareCommit() throws IOException, InterruptedException {
        // Flink has it flushed before.
        watch.check();
        return writer.prepareCommit();
    }

    @Override
    public List<KafkaWriterState> snapshotState(long checkpoint) throws IOException {
        return writer.snapshotState(checkpoint);
    }

    @Override
    public void close() throws Exception {
        try (reader) {
            writer.close();
        }
    }
}
