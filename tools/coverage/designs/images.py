"""Image models of keras.io and tensorflow.org."""

from __future__ import annotations

from tools.coverage.designs.design import Kit, Room

ROOM = Room("images")
KERAS = "https://keras.io/examples/vision/"
# Of nets that scale pixels themselves.
PIXELS = 128.0
TENSORFLOW = "https://www.tensorflow.org/tutorials/"


@ROOM.of(KERAS + "mnist_convnet/", labels=10, one_hot=True)
def mnist_convnet(kit: Kit):
    L = kit.layers
    body = [L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(2)]
    body += [L.Conv2D(64, 3, activation="relu"), L.MaxPooling2D(2), L.Flatten()]
    body += [kit.dropout(0.5), L.Dense(10, activation="softmax")]
    return kit.stack((28, 28, 1), body, "categorical_crossentropy")


@ROOM.of(KERAS + "image_classification_from_scratch/", labels=1)
def small_xception(kit: Kit):
    L, x = kit.layers, kit.api.Input((48, 48, 3))
    y = x if kit.quiet else L.RandomRotation(0.1)(L.RandomFlip("horizontal")(x))
    y = L.Conv2D(16, 3, strides=2, padding="same")(L.Rescaling(1 / 255)(y))
    y = before = L.Activation("relu")(L.BatchNormalization()(y))
    for width in (32, 48):
        for _ in range(2):
            y = L.SeparableConv2D(width, 3, padding="same")(L.Activation("relu")(y))
            y = L.BatchNormalization()(y)
        y = L.MaxPooling2D(3, strides=2, padding="same")(y)
        short = L.Conv2D(width, 1, strides=2, padding="same")(before)
        y = before = L.add([y, short])
    y = L.SeparableConv2D(64, 3, padding="same")(y)
    y = L.GlobalAveragePooling2D()(L.Activation("relu")(L.BatchNormalization()(y)))
    y = L.Dense(1)(kit.dropout(0.25)(y))
    loss = kit.api.losses.BinaryCrossentropy(from_logits=True)
    return kit.model(x, y, loss, kit.api.optimizers.Adam(3e-4))


@ROOM.of("https://keras.io/guides/transfer_learning/", labels=1)
def transfer_learning(kit: Kit):
    L, x = kit.layers, kit.api.Input((32, 32, 3))
    base = _mobilenet(kit)
    y = L.Rescaling(1 / 127.5, offset=-1)(x)
    y = L.GlobalAveragePooling2D()(base(y, training=False))
    y = L.Dense(1)(kit.dropout(0.2)(y))
    loss = kit.api.losses.BinaryCrossentropy(from_logits=True)
    return kit.model(x, y, loss)


@ROOM.of(KERAS + "keypoint_detection/")
def keypoints(kit: Kit):
    L, x = kit.layers, kit.api.Input((64, 64, 3))
    y = _mobilenet(kit, (64, 64, 3))(L.Rescaling(1 / 127.5, offset=-1)(x))
    y = kit.dropout(0.3)(y)
    y = L.SeparableConv2D(16, 2, activation="relu")(y)
    y = L.SeparableConv2D(16, 1, activation="sigmoid")(y)
    return kit.model(x, y, "mse", kit.api.optimizers.Adam(1e-4))


def _mobilenet(kit: Kit, shape=(32, 32, 3)):
    base = kit.api.applications.MobileNetV2(
        input_shape=shape, alpha=0.35, include_top=False, weights=None
    )
    base.trainable = False
    return base


@ROOM.of(
    KERAS + "image_classification_efficientnet_fine_tuning/",
    labels=5,
    one_hot=True,
    scale=PIXELS,
)
def efficientnet_top(kit: Kit):
    L, x = kit.layers, kit.api.Input((32, 32, 3))
    base = kit.settled(
        kit.api.applications.EfficientNetB0(
            include_top=False, input_tensor=x, weights=None
        ),
        PIXELS,
    )
    base.trainable = False
    y = L.BatchNormalization()(L.GlobalAveragePooling2D()(base.output))
    y = L.Dense(5, activation="softmax")(kit.dropout(0.2)(y))
    optimizer = kit.api.optimizers.Adam(1e-2)
    return kit.model(x, y, "categorical_crossentropy", optimizer)


@ROOM.of(KERAS + "siamese_contrastive/", labels=1)
def siamese(kit: Kit):
    L, ops = kit.layers, kit.ops
    x = kit.api.Input((28, 28, 1))
    y = L.Conv2D(4, 5, activation="tanh")(L.BatchNormalization()(x))
    y = L.Conv2D(16, 5, activation="tanh")(L.AveragePooling2D(2)(y))
    y = L.BatchNormalization()(L.Flatten()(L.AveragePooling2D(2)(y)))
    tower = kit.api.Model(x, L.Dense(10, activation="tanh")(y))
    left, right = (kit.api.Input((28, 28, 1), name=n) for n in ("left", "right"))
    off = ops.square(tower(left) - tower(right))
    far = ops.sqrt(ops.maximum(ops.sum(off, axis=1, keepdims=True), 1e-7))
    y = L.Dense(1, activation="sigmoid")(L.BatchNormalization()(far))
    return kit.model([left, right], y, "binary_crossentropy", "rmsprop")


@ROOM.of(KERAS + "oxford_pets_image_segmentation/", labels=3)
def pets_unet(kit: Kit):
    L, x = kit.layers, kit.api.Input((32, 32, 3))
    y = L.Conv2D(16, 3, strides=2, padding="same")(x)
    y = before = L.Activation("relu")(L.BatchNormalization()(y))
    for width in (24, 32):
        for _ in range(2):
            y = L.SeparableConv2D(width, 3, padding="same")(L.Activation("relu")(y))
            y = L.BatchNormalization()(y)
        y = L.MaxPooling2D(3, strides=2, padding="same")(y)
        short = L.Conv2D(width, 1, strides=2, padding="same")(before)
        y = before = L.add([y, short])
    for width in (32, 24, 16):
        y = L.Conv2DTranspose(width, 3, padding="same")(L.Activation("relu")(y))
        y = L.UpSampling2D(2)(L.BatchNormalization()(y))
        short = L.Conv2D(width, 1, padding="same")(L.UpSampling2D(2)(before))
        y = before = L.add([y, short])
    y = L.Conv2D(3, 3, activation="softmax", padding="same")(y)
    return kit.model(x, y, "sparse_categorical_crossentropy")


@ROOM.of("https://arxiv.org/abs/1505.04597", labels=1)
def unet(kit: Kit):
    """Encoder and decoder with skips that are concatenated."""
    L, x = kit.layers, kit.api.Input((32, 32, 1))
    y, skips = x, []
    for width in (8, 16):
        for _ in range(2):
            y = L.Conv2D(width, 3, padding="same", activation="relu")(y)
        skips.append(y)
        y = L.MaxPooling2D(2)(y)
    y = L.Conv2D(32, 3, padding="same", activation="relu")(y)
    for width in (16, 8):
        y = L.Conv2DTranspose(width, 2, strides=2)(y)
        y = L.Concatenate()([skips.pop(), y])
        y = L.Conv2D(width, 3, padding="same", activation="relu")(y)
    y = L.Conv2D(1, 1, activation="sigmoid")(y)
    return kit.model(x, y, "binary_crossentropy")


@ROOM.of(KERAS + "deeplabv3_plus/", labels=4)
def deeplab(kit: Kit):
    """Dilated convolutions side by side, over a small backbone."""
    L, x = kit.layers, kit.api.Input((32, 32, 3))

    def block(y, width, size=3, rate=1):
        conv = L.Conv2D(width, size, dilation_rate=rate, padding="same", use_bias=False)
        return L.ReLU()(L.BatchNormalization()(conv(y)))

    low = block(L.MaxPooling2D(2)(block(x, 8)), 16)
    y = block(L.MaxPooling2D(4)(low), 24)
    mean = L.UpSampling2D(4, interpolation="bilinear")(
        block(L.AveragePooling2D(4)(y), 16, 1)
    )
    y = L.Concatenate()(
        [mean, block(y, 16, 1), *(block(y, 16, 3, rate) for rate in (2, 3))]
    )
    y = L.UpSampling2D(4, interpolation="bilinear")(block(y, 16, 1))
    y = block(L.Concatenate()([y, block(low, 8, 1)]), 16)
    y = L.UpSampling2D(2, interpolation="bilinear")(y)
    loss = kit.api.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kit.model(x, L.Conv2D(4, 1, padding="same")(y), loss)


@ROOM.of(KERAS + "super_resolution_sub_pixel/")
def sub_pixel(kit: Kit):
    L, x = kit.layers, kit.api.Input((24, 24, 1))
    y = L.Conv2D(32, 5, activation="relu", padding="same")(x)
    y = L.Conv2D(16, 3, activation="relu", padding="same")(y)
    y = L.Conv2D(9, 3, padding="same")(y)
    return kit.model(x, kit.ops.depth_to_space(y, 3), "mse")


@ROOM.of(KERAS + "autoencoder/", labels=1)
def denoiser(kit: Kit):
    L, same = kit.layers, {"padding": "same", "activation": "relu"}
    body = [L.Conv2D(16, 3, **same), L.MaxPooling2D(2, padding="same")]
    body += [L.Conv2D(16, 3, **same), L.MaxPooling2D(2, padding="same")]
    body += [L.Conv2DTranspose(16, 3, strides=2, **same) for _ in range(2)]
    body += [L.Conv2D(1, 3, activation="sigmoid", padding="same")]
    return kit.stack((28, 28, 1), body, "binary_crossentropy")


@ROOM.of(KERAS + "learnable_resizer/", labels=3)
def learnable_resizer(kit: Kit):
    L, x = kit.layers, kit.api.Input((40, 40, 3))
    plain = L.Resizing(16, 16, interpolation="bilinear")(x)
    y = L.LeakyReLU(0.2)(L.Conv2D(8, 7, padding="same")(x))
    y = L.BatchNormalization()(L.LeakyReLU(0.2)(L.Conv2D(8, 1, padding="same")(y)))
    y = L.Resizing(16, 16, interpolation="bilinear")(y)
    side = L.BatchNormalization()(L.Conv2D(8, 3, padding="same", use_bias=False)(y))
    y = L.Conv2D(3, 7, padding="same")(L.Add()([y, side]))
    y = L.Conv2D(16, 3, strides=2, activation="relu")(L.Add()([plain, y]))
    y = L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(y))
    return kit.model(x, y, "sparse_categorical_crossentropy", "sgd")


@ROOM.of("https://keras.io/guides/functional_api/", labels=10)
def toy_resnet(kit: Kit):
    L, x = kit.layers, kit.api.Input((32, 32, 3), name="img")
    y = L.Conv2D(16, 3, activation="relu")(x)
    y = L.MaxPooling2D(3)(L.Conv2D(32, 3, activation="relu")(y))
    for _ in range(2):
        z = L.Conv2D(32, 3, activation="relu", padding="same")(y)
        y = L.add([L.Conv2D(32, 3, activation="relu", padding="same")(z), y])
    y = L.GlobalAveragePooling2D()(L.Conv2D(32, 3, activation="relu")(y))
    y = kit.dropout(0.5)(L.Dense(64, activation="relu")(y))
    loss = kit.api.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kit.model(x, L.Dense(10)(y), loss, kit.api.optimizers.RMSprop(1e-3))


@ROOM.of(TENSORFLOW + "images/classification", labels=5)
def flowers(kit: Kit):
    L, body = kit.layers, []
    if not kit.quiet:
        body += [L.RandomFlip("horizontal"), L.RandomRotation(0.1), L.RandomZoom(0.1)]
    body += [L.Rescaling(1 / 255)]
    for width in (16, 32, 64):
        body += [L.Conv2D(width, 3, padding="same", activation="relu")]
        body += [L.MaxPooling2D()]
    body += [kit.dropout(0.2), L.Flatten(), L.Dense(32, activation="relu"), L.Dense(5)]
    loss = kit.api.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kit.stack((32, 32, 3), body, loss)


@ROOM.of(TENSORFLOW + "images/cnn", labels=10)
def cifar_cnn(kit: Kit):
    L = kit.layers
    body = [L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(2)]
    body += [L.Conv2D(64, 3, activation="relu"), L.MaxPooling2D(2)]
    body += [L.Conv2D(64, 3, activation="relu"), L.Flatten()]
    body += [L.Dense(64, activation="relu"), L.Dense(10)]
    loss = kit.api.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kit.stack((32, 32, 3), body, loss)


@ROOM.of(
    "https://ai.google.dev/edge/litert/conversion/tensorflow/on_device_training",
    labels=10,
    one_hot=True,
)
def fashion_mlp(kit: Kit):
    L = kit.layers
    body = [L.Flatten(), L.Dense(128, activation="relu"), L.Dense(10)]
    loss = kit.api.losses.CategoricalCrossentropy(from_logits=True)
    return kit.stack((28, 28), body, loss, "sgd")


@ROOM.of("https://keras.io/guides/custom_train_step_in_tensorflow/", labels=1)
def gan_discriminator(kit: Kit):
    L, body = kit.layers, []
    for width in (16, 32):
        body += [L.Conv2D(width, 3, strides=2, padding="same"), L.LeakyReLU(0.2)]
    body += [L.GlobalMaxPooling2D(), L.Dense(1)]
    loss = kit.api.losses.BinaryCrossentropy(from_logits=True)
    return kit.stack((28, 28, 1), body, loss, kit.api.optimizers.Adam(3e-4))


@ROOM.of("https://keras.io/examples/rl/deep_q_network_breakout/")
def deep_q_network(kit: Kit):
    L = kit.layers
    body = [L.Conv2D(16, 8, strides=4, activation="relu")]
    body += [L.Conv2D(32, 4, strides=2, activation="relu")]
    body += [L.Conv2D(32, 3, activation="relu"), L.Flatten()]
    body += [L.Dense(64, activation="relu"), L.Dense(4, activation="linear")]
    optimizer = kit.api.optimizers.Adam(0.00025, clipnorm=1.0)
    return kit.stack((52, 52, 4), body, kit.api.losses.Huber(), optimizer)


@ROOM.of(KERAS + "3D_image_classification/", labels=1)
def volumes(kit: Kit):
    L = kit.layers
    body = [L.Conv3D(8, 3, activation="relu"), L.MaxPooling3D(2)]
    body += [L.BatchNormalization(), L.GlobalAveragePooling3D()]
    body += [L.Dense(16, activation="relu"), L.Dense(1, activation="sigmoid")]
    return kit.stack((12, 12, 12, 1), body, "binary_crossentropy")
