"""The meter: operations counted by hand, rates, and what a run tells of them."""

import pytest
import torch
from transformers import BertConfig, BertForPreTraining, BertForSequenceClassification

from pretrain.models.cpu_kernels import install_attention
from pretrain.models.modeling.modeling_recurrent import RecurrentConfig, RecurrentForSequenceClassification
from pretrain.models.pretraining_models import PairModel
from pretrain.run import run
from pretrain.training.metric_logger import read_metrics
from pretrain.training.throughput import RATES, FlopCount, ThroughputMeter, matmul_rate, whole_run
from tests.helpers.pretraining import small_run

LAYERS, WIDTH, VOCABULARY = 3, 32, 50


def bert(kind):
    return kind(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            intermediate_size=4 * WIDTH,
        )
    )


def test_operations_of_bert_are_those_of_its_matrices():
    found = FlopCount.of(PairModel(bert(BertForPreTraining)))
    # Query, key, value, output and twice four times as much in between.
    assert found.token == 2 * LAYERS * 12 * WIDTH**2
    assert found.attended == LAYERS * 2 * 2 * WIDTH
    assert found.prediction == 2 * (WIDTH**2 + VOCABULARY * WIDTH)
    assert found.sequence == 2 * (WIDTH**2 + 2 * WIDTH)
    totals = {"tokens": 20, "attended": 200, "mlm": 3, "sequences": 2}
    forward = 20 * found.token + 200 * found.attended + 3 * found.prediction + 2 * found.sequence
    assert found.training(totals) == 3 * forward


def test_operations_of_a_modernbert_whose_queries_share_a_matrix():
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    config = ModernBertConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2,
        intermediate_size=WIDTH, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    found = FlopCount.of(ModernBertForMaskedLM(config))
    # Query, key, value and output; two matrices in and one out.
    assert found.token == 2 * LAYERS * (4 + 3) * WIDTH**2
    assert found.attended == LAYERS * 2 * 2 * WIDTH
    assert found.prediction == 2 * (WIDTH**2 + VOCABULARY * WIDTH)


def test_operations_agree_with_torchs_own_count():
    from torch.utils.flop_counter import FlopCounterMode

    model = bert(BertForSequenceClassification).eval()
    # torch counts products, so the scores have to be some.
    install_attention(model)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.randint(1, VOCABULARY, (2, 16)))
    arithmetic = FlopCount.of(model)
    totals = {"tokens": 32, "attended": 2 * 16**2, "sequences": 2}
    assert counter.get_total_flops() == arithmetic.training(totals) / 3


@pytest.mark.parametrize(("bidirectional", "directions"), [(False, 1), (True, 2)])
def test_operations_of_an_lstm(bidirectional, directions):
    config = RecurrentConfig(vocab_size=9, embedding_size=8, hidden_size=16, bidirectional=bidirectional, num_labels=3)
    found = FlopCount.of(RecurrentForSequenceClassification(config))
    assert found.token == directions * 2 * 4 * 16 * (8 + 16)
    assert found.sequence == 2 * directions * 16 * 3
    assert found.attended == found.prediction == 0


def test_rates_count_from_one_call_to_the_next():
    meter = ThroughputMeter(FlopCount(token=2.0), matmul_rate=1200.0)
    totals = {"tokens": 100, "attended": 0, "sequences": 1}
    meter.add(totals, seconds=0.5, waited=0.1)
    meter.add(totals, seconds=0.5, waited=0.3)
    assert meter.rates() == pytest.approx(
        {"tokens_per_second": 200, "model_gflops": 1200e-9, "mfu": 1.0, "data_wait_share": 0.4}
    )
    meter.add(totals, seconds=2.0, waited=0.0)
    assert meter.rates()["tokens_per_second"] == 50


def test_the_rate_of_matrix_products_is_measured_and_remembered():
    rate = matmul_rate("cpu", torch.float32, torch.get_num_threads())
    assert rate > 1e8
    assert matmul_rate("cpu", torch.float32, torch.get_num_threads()) == rate


def test_rates_of_a_run_are_weighted_by_seconds():
    rows = [
        {"seconds": 1.0} | dict.fromkeys(RATES, 1.0),
        {"seconds": 1.0, "eval_loss": 3.0},
        {"seconds": 4.0} | dict.fromkeys(RATES, 5.0),
    ]
    assert whole_run(rows) == dict.fromkeys(RATES, 4.0)
    assert whole_run([]) == {}
    former = {"step": 1, "seconds": 1.0, "tokens_per_second": 9.0, "useful_gflops": 9.0}
    assert whole_run([former, *rows]) == whole_run([{"step": 1, "seconds": 1.0}, *rows]), "named otherwise: left out"


def test_a_run_tells_how_fast_it_was(tmp_path):
    folder = run(small_run(tmp_path, training={"duration": "4 steps"}))
    rows = [row for row in read_metrics(folder.metrics) if "loss" in row]
    assert len(rows) == 4
    for found in (*rows, folder.result()):
        assert found["tokens_per_second"] > 0
        assert 0 < found["mfu"] < 2
        assert 0 <= found["data_wait_share"] < 1
    assert folder.result()["model_gflops"] > 0


def test_a_language_model_of_two_directions_tells_every_token_twice():
    arithmetic = FlopCount(token=10.0, prediction=1000.0)
    counts = {"tokens": 8, "attended": 0, "sequences": 0, "lm": 8}
    one, both = (arithmetic.training(counts | {"backward_lm": number}) for number in (0, 8))
    assert (one, both) == (3 * 8 * 1010, 3 * 8 * 2010)
