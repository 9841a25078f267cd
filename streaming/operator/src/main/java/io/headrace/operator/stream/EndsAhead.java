package io.headrace.operator.stream;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.Admin;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.IsolationLevel;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.KafkaFuture;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.TopicPartition;

/** Where partitions ended a little while ago: asked ahead, so that no event waits for the answer. */
final class EndsAhead implements AutoCloseable {
    /**
     * An answer.
     *
     * @param ends by partition, the offset before which everything was committed or aborted
     * @param askedAt since when that holds, by the clock of `System.nanoTime`
     */
    record Answer(Map<TopicPartition, Long> ends, long askedAt) {}

    private static final ListOffsetsOptions COMMITTED =
            new ListOffsetsOptions(IsolationLevel.READ_COMMITTED);

    private final Admin admin;
    private final Map<TopicPartition, OffsetSpec> question = new HashMap<>();
    private KafkaFuture<Map<TopicPartition, ListOffsetsResultInfo>> open;
    private long openSince;
    private Answer answer;

    /** Of some partitions, whose ends are known now. */
    EndsAhead(Deployment deployment, Map<TopicPartition, Long> now) {
        admin = Admin.create(deployment.client());
        now.keySet().forEach(partition -> question.put(partition, OffsetSpec.latest()));
        answer = new Answer(now, System.nanoTime());
    }

    /** The last answer that has come. */
    Answer answer() {
        if (open != null && open.isDone()) {
            take();
        }
        return answer;
    }

    /** Asks anew, unless an answer is awaited. */
    void ask() {
        answer();
        if (open == null) {
            openSince = System.nanoTime();
            open = admin.listOffsets(question, COMMITTED).all();
        }
    }

    private void take() {
        try {
            Map<TopicPartition, Long> ends = new HashMap<>();
            open.get().forEach((partition, end) -> ends.put(partition, end.offset()));
            answer = new Answer(ends, openSince);
        } catch (ExecutionException unanswered) {
            // Whoever needs a newer one asks the broker himself, and waits.
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        open = null;
    }

    @Override
    public void close() {
        admin.close(Duration.ZERO);
    }
}
