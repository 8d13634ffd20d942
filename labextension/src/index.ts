// The platform inside JupyterLab: time left, warnings, the end of GPU time, assignments.
import {
  IConnectionLost,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ILauncher } from '@jupyterlab/launcher';
import { IMainMenu } from '@jupyterlab/mainmenu';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator } from '@jupyterlab/translation';
import { fileUploadIcon, homeIcon } from '@jupyterlab/ui-components';
import { Menu } from '@lumino/widgets';

import { askDialog } from './asking';
import { Ending, saveAll } from './ending';
import { Lost } from './lost';
import { StatusModel } from './model';
import { AssignmentsPanel, assignmentsIcon } from './sidebar';
import { StatusItem } from './statusbar';
import { submitDialog } from './submitting';
import { say, useLanguage } from './text';
import { Warnings } from './warnings';

const HOME = 'dli-lab:home';
const SUBMIT = 'dli-lab:submit';
const ASSIGNMENTS = 'dli-lab:assignments';
const MORE = 'dli-lab:ask-for-more';
const WITHOUT_GPU = 'dli-lab:continue-without-gpu';
const WARNING = 'dli-lab:go-to-warning';

function goHome(): void {
  const host = PageConfig.getOption('hubHost');
  window.open(`${host}/services/usage/`, '_blank', 'noopener');
}

interface IParts {
  model: StatusModel;
  ending: Ending;
  warnings: Warnings;
  panel: AssignmentsPanel;
  save: () => Promise<string[]>;
}

function addCommands(app: JupyterFrontEnd, parts: IParts): void {
  const { commands } = app;
  const { model } = parts;
  const withGpu = (): boolean => (model.status?.seconds_left ?? null) !== null;
  commands.addCommand(HOME, { label: () => say('My courses'), icon: homeIcon, execute: goHome });
  commands.addCommand(ASSIGNMENTS, {
    label: () => say('Assignments'),
    icon: assignmentsIcon,
    execute: () => app.shell.activateById(parts.panel.id)
  });
  commands.addCommand(SUBMIT, {
    label: () => say('Submit the assignment …'),
    icon: fileUploadIcon,
    isEnabled: () => Boolean(model.status?.assignment),
    execute: async () => {
      const { course, assignment } = model.status!;
      if (await submitDialog(course, assignment, assignment, parts.save)) {
        void parts.panel.refresh();
      }
    }
  });
  commands.addCommand(MORE, {
    label: () => say('Ask for more GPU time …'),
    isEnabled: withGpu,
    execute: () => askDialog()
  });
  commands.addCommand(WITHOUT_GPU, {
    label: () => say('Continue without GPU …'),
    isEnabled: withGpu,
    execute: () => parts.ending.continueWithoutGpu()
  });
  commands.addCommand(WARNING, {
    label: () => say('Go to the warning'),
    isEnabled: () => parts.warnings.isVisible,
    execute: () => parts.warnings.focusFirst()
  });
  commands.addKeyBinding({ command: WARNING, keys: ['Alt Shift W'], selector: 'body' });
  // isEnabled depends on the first answer of the service.
  let announced = false;
  model.changed.connect(() => {
    if (!announced && model.status) {
      announced = true;
      commands.notifyCommandChanged();
    }
  });
}

function addPlaces(
  app: JupyterFrontEnd,
  menus: IMainMenu | null,
  palette: ICommandPalette | null,
  launcher: ILauncher | null
): void {
  const all = [HOME, ASSIGNMENTS, SUBMIT, MORE, WITHOUT_GPU, WARNING];
  if (menus) {
    const menu = new Menu({ commands: app.commands });
    menu.id = 'dli-lab-menu';
    menu.title.label = say('Course');
    all.forEach(command => menu.addItem({ command }));
    menus.addMenu(menu, true, { rank: 90 });
  }
  all.forEach(command => palette?.addItem({ command, category: say('Course') }));
  [ASSIGNMENTS, SUBMIT, HOME].forEach((command, rank) =>
    launcher?.add({ command, category: say('Course'), rank })
  );
}

const lost = new Lost();

/** Apart from the rest, because JupyterLab asks for it before there are documents. */
const connectionLost: JupyterFrontEndPlugin<IConnectionLost> = {
  id: 'dli-lab:connection-lost',
  description: 'Says why the lab does not answer.',
  autoStart: true,
  provides: IConnectionLost,
  activate: () => lost.answer
};

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'dli-lab:plugin',
  description: 'GPU time left, warnings and assignments.',
  autoStart: true,
  requires: [IDocumentManager, ITranslator],
  optional: [IStatusBar, IMainMenu, ICommandPalette, ILauncher],
  activate: (
    app: JupyterFrontEnd,
    documents: IDocumentManager,
    translator: ITranslator,
    statusBar: IStatusBar | null,
    menus: IMainMenu | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null
  ): void => {
    useLanguage(translator.languageCode);
    const model = new StatusModel();
    const save = (): Promise<string[]> => saveAll(app, documents);
    const ending = new Ending(model, save);
    lost.learn({ tellIfOver: () => ending.tellIfOver(), goHome });
    model.found.connect(() => lost.found());
    const warnings = new Warnings(app, model, {
      save: async () => void (await save()),
      askForMore: askDialog,
      continueWithoutGpu: () => ending.continueWithoutGpu()
    });
    const panel = new AssignmentsPanel(app, documents, save);
    app.shell.add(panel, 'left', { rank: 150 });
    addCommands(app, { model, ending, warnings, panel, save });
    addPlaces(app, menus, palette, launcher);
    statusBar?.registerStatusItem('dli-lab:time', {
      item: new StatusItem(model),
      align: 'left',
      rank: 0
    });
    model.start();
  }
};

export default [connectionLost, plugin];
