# The service of a finished classifier, on CPUs:
#   docker build --build-arg TORCH_INDEX=URL --tag bertlet .      URL: PyTorch's index of builds without CUDA
#   docker run --publish 8000:8000 --volume "$PWD/RUN:/model:ro" bertlet
# Flags of `python -m finetune.serve` follow: docker run … bertlet /model --host 0.0.0.0 --maximum_texts 64
FROM python:3.11-slim

# Without an index torch comes with CUDA, which is several gigabytes larger.
ARG TORCH_INDEX=""

RUN useradd --create-home --uid 10001 bertlet
WORKDIR /app

# Libraries first: they change less often than the code. README.md and LICENSE are part of the package's metadata.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
 && pip install --no-cache-dir --constraint constraints.txt ".[serve]" httptools uvloop onnxruntime

COPY configs configs
COPY tokenizer tokenizer
COPY pretrain pretrain
COPY finetune finetune

USER bertlet
EXPOSE 8000
# Ready, not only alive: loading a model takes seconds.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
 CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# Python itself is the first process, so that `docker stop --time 30` reaches it and requests are answered before the end.
ENTRYPOINT ["python", "-m", "finetune.serve"]
CMD ["/model", "--host", "0.0.0.0"]
