"""Run folders of fine-tuning, and the checkpoint a run starts from; without heavy imports."""

from configs.launch import digested_precision
from configs.run_folder import RunFolder
from finetune.classification.corpora import corpora_of
from finetune.config import BAG_OF_WORDS, FinetuneConfig, check_model_name
from pretrain.models.config import RECURRENT, is_from_scratch, stage_of
from pretrain.run_paths import find as find_pretrained
from tokenizer.corpus import shards
from tokenizer.run_paths import find as find_tokenizer


def upstream(config: FinetuneConfig) -> tuple[str, str, str]:
    """The checkpoint (folder or Hub id), the tokenizer (folder or Hub id), and a digest of both.

    The checkpoint is `""` for a model without one; that of `bert-scratch` only provides the architecture, so that other
    weights of it, of a longer pretraining for example, are no reason to train `bert-scratch` again.

    Raises:
        InputError: the checkpoint or tokenizer does not exist.
    """
    name = config.model.name
    if name == BAG_OF_WORDS:
        return "", "", ""
    if name in RECURRENT:
        folder, digest = find_tokenizer(config.tokenizer, config.runs)
        return "", folder, digest
    check_model_name(name)
    reference = config.model.pretrained if stage_of(name) else name
    folder, digest = find_pretrained(
        reference, config.runs, config.model.trust_remote_code, weights=not is_from_scratch(name)
    )
    return folder, folder, digest


def run_folder(config: FinetuneConfig) -> RunFolder:
    """The run folder of a config, finished or not.

    Raises:
        InputError: a file, folder or finished run that the config names is missing; or the run is finished, and its
            texts have no such score as `select_by`.
    """
    corpora = [shards.fingerprint(corpus) for _, corpus in sorted(corpora_of(config).items())]
    precision = [] if config.model.name == BAG_OF_WORDS else digested_precision(config.training.speed.precision)
    folder = RunFolder.of("finetune", config, [upstream(config)[2], *corpora, *precision])
    if folder.finished:
        # Without `select_by`, a run has the digest that it had when accuracy was the default.
        config.score_of(folder.result().get("problem_type") is not None)
    return folder
