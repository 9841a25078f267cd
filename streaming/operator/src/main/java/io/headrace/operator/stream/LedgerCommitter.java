package io.headrace.operator.stream;

import java.io.IOException;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.ExecutionException;
import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.connector.kafka.sink.KafkaCommittable;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.Admin;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.TransactionState;
import org.apache.flink.runtime.execution.SuppressRestartsException;

/**
 * Commits transactions; one that was aborted behind the job's back ends the job for good.
 *
 * <p>A job that is restored commits once more what it had committed. The broker refuses that in the
 * same words as a commit of what was aborted, so that it is asked what became of the transaction.
 */
@SuppressWarnings("try") // Flink declares it so.
final class LedgerCommitter implements Committer<KafkaCommittable> {
    private static final int PATIENCE_S = 10;
    private static final long PAUSE_MS = 50;

    private final Committer<KafkaCommittable> committer;
    private final Deployment deployment;

    LedgerCommitter(Committer<KafkaCommittable> committer, Deployment deployment) {
        this.committer = committer;
        this.deployment = deployment;
    }

    @Override
    public void commit(Collection<CommitRequest<KafkaCommittable>> requests)
            throws IOException, InterruptedException {
        List<CommitRequest<KafkaCommittable>> strict =
                requests.stream().<CommitRequest<KafkaCommittable>>map(Strict::new).toList();
        committer.commit(strict);
    }

    @Override
    public void close() throws Exception {
        committer.close();
    }

    /** Whether a transaction was committed; its id is used for no other. */
    private boolean isCommitted(String transaction) {
        try (Admin admin = Admin.create(deployment.client())) {
            TransactionState state = state(admin, transaction);
            while (state == TransactionState.PREPARE_COMMIT) {
                Thread.sleep(PAUSE_MS);
                state = state(admin, transaction);
            }
            return state == TransactionState.COMPLETE_COMMIT;
        } catch (ExecutionException error) {
            throw new IllegalStateException("the broker does not tell of " + transaction, error);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", interrupted);
        }
    }

    private static TransactionState state(Admin admin, String transaction)
            throws ExecutionException, InterruptedException {
        return admin.describeTransactions(List.of(transaction))
                .description(transaction)
                .get()
                .state();
    }

    private void lost(String transaction, Throwable cause) {
        try (TopicReader reader = new TopicReader(deployment)) {
            DeploymentWatch watch = new DeploymentWatch(deployment, reader);
            // Whoever has aborted it may be a newer one that is just about to announce itself.
            for (int i = 0; i < PATIENCE_S; i++) {
                watch.check();
                Thread.sleep(1_000);
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        // Restarted, the job would go on from a state that takes these decisions for made.
        IllegalStateException lost =
                new IllegalStateException(
                        "transaction "
                                + transaction
                                + " was aborted before it could be committed, and this state takes"
                                + " its decisions for made: deploy from an older one, which makes"
                                + " just those that are missing");
        lost.addSuppressed(cause);
        throw new SuppressRestartsException(lost);
    }

    /** A request that isn't given up in silence. */
    private final class Strict implements CommitRequest<KafkaCommittable> {
        private final CommitRequest<KafkaCommittable> request;

        Strict(CommitRequest<KafkaCommittable> request) {
            this.request = request;
        }

        @Override
        public KafkaCommittable getCommittable() {
            return request.getCommittable();
        }

        @Override
        public int getNumberOfRetries() {
            return request.getNumberOfRetries();
        }

        @Override
        public void signalFailedWithKnownReason(Throwable cause) {
            String transaction = getCommittable().getTransactionalId();
            if (isCommitted(transaction)) {
                request.signalAlreadyCommitted();
            } else {
                lost(transaction, cause);
            }
        }

        @Override
        public void signalFailedWithUnknownReason(Throwable cause) {
            request.signalFailedWithUnknownReason(cause);
        }

        @Override
        public void retryLater() {
            request.retryLater();
        }

        @Override
        public void updateAndRetryLater(KafkaCommittable committable) {
            request.updateAndRetryLater(committable);
        }

        @Override
        public void signalAlreadyCommitted() {
            request.signalAlreadyCommitted();
        }
    }
}
